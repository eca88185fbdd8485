"""The database: projects, datasets, runs and what happened in them, in one SQLite file.

The worker process writes a run; the dashboard reads it and sets its stop and pause flags. The store is
the only channel between them. It knows nothing of models or pages, and of searches only the records of what they found.

store       Store: the parts below over one connection
connection  one open database file: opening, locking, errors, JSON in and out
access      what one user may read and change, enforced by SQLite: a viewer is who is neither editor nor owner
migrations  the schema in numbered steps
rows        the records that the parts return
projects    projects, datasets, settings, feedback and grades, program versions
users       users of a shared dashboard, and how they sign in
members     users' roles in projects; links that show the report of one run to others
runs        runs and user requests
queue       the runs that wait, and which may begin
processes   processes of this machine, by number and start
spend       what users have spent
archive     runs moved into a file and brought back
backup      the data folder written into one file, and brought back
trials      candidates, trials, outcomes, events
"""
