"""Settings: models, keys, prices, users, storage.

page           the page
model_list     models with price, key and test; tuned models
model_form     the form to add a model
found_models   models found on this machine
machine        spending, storage, links, where runs work
limits         limits of the data folder for all its users
users          the users of the server
"""
