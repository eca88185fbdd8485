"""Models: one client, its transports, the call cache and the prices.

A call's way: `client.LM` asks `cache` first; what is not there passes the endpoint's `limiter` and goes by one of
the transports (`openai_http` for the OpenAI protocol, `litellm_gateway` for every other provider, `offline` for the
stand-in), again after failures that may pass. `choice` says as data which model is asked and how, `catalog` which way a
name goes, `keys` finds its key, `prices` what it costs, `failures` turns whatever went wrong into one clear sentence,
`history` keeps the last calls for a look. `base` is all that the rest of the engine knows of it.
"""
