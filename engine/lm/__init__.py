"""Models: one client, its transports, the call cache and the prices.

`middleware` has everything that goes round a call, in order: callbacks, budget, history, cache, retries, limits.
`base` is all that the rest of the engine knows of a model; `client.LM` is the one client, `fallback` asks several
models in order. Its requests go through `transports`, to `offline` (the stand-in) or to `local` (weights of this
machine). `choice` holds a model's settings as data and finds its endpoint, `slots` its limit for several processes,
`keys` its key, `prices` its cost, `speeds` how long its calls took; `history` keeps the last calls, `usage` adds up
what the calls of a block have cost.
"""
