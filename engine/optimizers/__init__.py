"""One file per algorithm; each is a search under the contract in `engine.search.contract`."""
