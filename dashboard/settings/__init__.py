"""Settings: models, keys, prices, users, storage.

page     the page
cards    models with keys and prices, local models, spending, storage
limits   limits of the data folder for all its users
users    the users of the server
"""
