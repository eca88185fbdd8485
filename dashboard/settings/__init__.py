"""Settings: models, keys, prices, users, storage.

page         the page
model_list   models with price, key and test; tuned models
model_form   the form to add a model, and models found on this machine
machine      spending, limits, storage, links, where runs work
users        the users of the server
"""
