"""Models: one client, its transports, the call cache and the prices.

base          the model as the rest of the engine knows it
client        `LM`, the one client; `options` its keywords, `tuned` the models that were tuned here
calls         everything that goes round a call: layers, cache, limits, waits, history, usage, speeds
exchange      `Request` and `Reply`, read from the OpenAI protocol's JSON; the contracts of layers and transports
streaming     replies that arrive in pieces
fallback      several models, asked in order
embedder      texts as vectors
choice        a model's settings as data, the known providers, and the way of a name's requests
connection    the test of an endpoint, and the models that it lists
keys          sources of API keys
prices        US dollars for each token
transports    ways to an endpoint; `offline` the stand-in, `local` weights on this machine
"""
