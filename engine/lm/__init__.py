"""Models: one client, its transports, the call cache and the prices.

base          the model as the rest of the engine knows it
client        `LM`, the one client; `options` its keywords, `tuned` the models that were tuned here
middleware    everything that goes round a call, in order: callbacks, budget, history, cache, retries, limits
limits        requests at once to an endpoint, which adapt to refusals and are shared by processes
waiting       room in the budget, and endpoints that are away
exchange      `Request` and `Reply`, read from the OpenAI protocol's JSON; the contracts of layers and transports
streaming     replies that arrive in pieces
cache         replies to earlier requests
history       the last calls; `usage` adds up the cost of the calls in a block
fallback      several models, asked in order
embedder      texts as vectors
choice        a model's settings as data, the known providers, and the way of a name's requests
connection    the test of an endpoint, and the models that it lists
keys          sources of API keys
prices        US dollars for each token; `speeds` the time that calls took
transports    ways to an endpoint; `offline` the stand-in, `local` weights on this machine
"""
