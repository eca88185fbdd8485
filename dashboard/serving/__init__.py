"""Parts of the server.

front     the server's app: first answers, then the site
hosting   Streamlit as an ASGI app; loading of the pages' parts
access    who may reach the server: its pages, and users who have signed in
oidc      login at an OpenID Connect provider
stream    event streams of runs
shared    links to the report of one run
metrics   figures of the server for administrators
"""
