"""Small helpers that know nothing of programs, models or runs.

text            values and counts as text, cut, quoted, made visible
value_parsing   numbers, amounts and dates in a text
similarity      likeness of texts and keyword search, over bm25s and rapidfuzz
statistics      intervals and tests of paired scores
home            the data folder, and files written whole
addresses       hosts and addresses: this machine, private, public
children        child processes that end with their parent
progress        one line on how far a search is
data            names of the types of JSON values
public_names    the public names of a package, as its stub lists them
"""
