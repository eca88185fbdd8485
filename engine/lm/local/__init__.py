"""Models of this machine, answered in process: "tuned/NAME", "tuned/NAME@STEP" and "local/" with a folder or a hub's name.

    sources   names -> folders of weights, their fingerprint for the cache, and whether what is needed is installed
    jobs      one completion to write, and what is written
    worker    the transport: jobs that wait together become batches on one thread
    weights   the one file that loads torch, transformers and peft: bases, adapters, and writing in batches
    serving   commands of servers for a tuned model, and an adapter merged into its base (in a child process)

Only `weights` loads a heavy library, and only once a model is asked: a process that never asks one never pays for it.
"""
