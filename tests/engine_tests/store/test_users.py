"""The file of users: lines, tokens that are kept nowhere, domains, and changes that count at once."""

import pytest

from engine.errors import ConfigurationError
from engine.store.users import Team, User, UserFile


def test_a_users_token_lets_in_that_user_and_a_new_one_replaces_it(tmp_path):
    file = UserFile(tmp_path / "deep" / "users.txt")
    first, second = file.add("ada"), file.add("bob")
    assert (file.by_token(first), file.by_token(second)) == (User("ada", administrator=True), User("bob"))
    newer = file.add("ada")
    assert (file.by_token(first), file.by_token(newer)) == (None, User("ada", administrator=True))
    assert file.by_token("") is file.by_token("é" * 100) is None
    assert {first, newer, second} & set(file.path.read_text().split()) == set()


def test_lines_written_by_hand_are_read_and_changes_count_at_once(tmp_path):
    file = UserFile(tmp_path / "users.txt")
    file.path.write_text("# people\n\nada oidc administrator # the first\n@example.org oidc\n")
    assert file.named("ada", oidc=True) == User("ada", administrator=True)
    assert file.named("ada", oidc=False) is None
    assert file.named("eva@example.org", oidc=True) == User("eva@example.org")
    for stranger in ("eva@evil.org", "@example.org", "eva@example.org@evil.org", "x y@example.org", ""):
        assert file.named(stranger) is None
    assert file.has_oidc
    file.remove("@example.org")
    assert file.named("eva@example.org") is None


def test_a_users_own_line_counts_before_the_domains(tmp_path):
    file = UserFile(tmp_path / "users.txt")
    file.add("@example.org", oidc=True)
    file.add("ada@example.org")
    assert file.named("ada@example.org", oidc=True) is None, "that user signs in with a token"
    assert not file.named("eva@example.org").administrator


@pytest.mark.parametrize(
    "line",
    [
        "ada",
        "ada secret",
        "ada sha256:abc",
        "ada oidc owner",
        "ada oidc\nada oidc",
        "a'b oidc",
        "@x.org sha256:" + "0" * 64,
    ],
)
def test_a_line_that_cannot_be_read_lets_nobody_in(tmp_path, line):
    file = UserFile(tmp_path / "users.txt")
    file.path.write_text(line + "\n")
    with pytest.raises(ConfigurationError, match=r"Line [12] of the file of users"):
        file.named("ada")


@pytest.mark.parametrize("name", ["", "a b", "ada|x", "ada'", "é", "-x", "@example.org", "a" * 101])
def test_names_that_cannot_be_users_are_refused(tmp_path, name):
    with pytest.raises(ConfigurationError, match="cannot be a user's name"):
        UserFile(tmp_path / "users.txt").add(name)


def test_a_server_that_others_reach_needs_users_and_an_address(tmp_path):
    file = UserFile(tmp_path / "users.txt")
    with pytest.raises(ConfigurationError, match="needs users"):
        Team(host="0.0.0.0").check()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Team(file.path).check()
    file.add("ada")
    Team(file.path).check()
    Team(file.path, "0.0.0.0", "https://tuneboard.example.org").check()
    with pytest.raises(ConfigurationError, match="--url"):
        Team(file.path, "0.0.0.0").check()
    with pytest.raises(ConfigurationError, match="--url"):
        Team(file.path, url="https://x.org/;script-src *").check()
