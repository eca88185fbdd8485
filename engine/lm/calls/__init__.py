"""Everything that goes round a model's call.

middleware    the layers in order: callbacks, budget, history, cache, retries, limits
limits        requests at once to an endpoint, which adapt to refusals and are shared by processes
waiting       room in the budget, and endpoints that are away
cache         replies to earlier requests
history       the last calls; `usage` adds up the cost of the calls in a block
speeds        the time that calls took
"""
