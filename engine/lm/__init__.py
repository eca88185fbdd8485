"""Models: one client, its transports, the call cache and the prices.

`middleware` has everything that goes round a call, in order: callbacks, budget, history, cache, retries, limits. `base` is
all that the rest of the engine knows of a model; `client.LM` is the one client. Its requests go by one of the transports:
`openai_http` for the OpenAI protocol, `litellm_gateway` for every other provider, `offline` for the stand-in, `local` for
weights of this machine. `choice`
holds a model's settings as data and finds its endpoint, `keys` its key, `prices` its cost; `failures` turns every failure
into one clear message, `history` keeps the last calls.
"""
