"""Everything that is kept: projects, datasets, runs and what happened in them, in one SQLite file.

The worker process writes a run; the dashboard reads it and sets its stop and pause flags. The store is
the only channel between them. It knows nothing of models, searches or pages.

    store       Store: the parts below over one connection
    connection  one open database file: opening, locking, errors, JSON in and out
    access      what one user may read and change, kept by SQLite
    migrations  the schema in numbered steps
    rows        the records that the parts hand out
    projects    projects, datasets, settings, feedback and grades, kept programs
    members     users' roles in projects
    runs        runs and user requests
    spend       what users have spent
    links       links that show the report of a run to others
    archive     runs moved into a file and brought back
    trials      candidates, trials, outcomes, events
"""
