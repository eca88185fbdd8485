"""Transports: how a request reaches an endpoint and how its reply or failure comes back.

openai_http      /chat/completions of the OpenAI protocol, over aiohttp
responses        /responses and /completions of the same protocol
offline          the stand-in model of this process
litellm_gateway  every other provider, through litellm
failures         any failure as one clear error
"""
