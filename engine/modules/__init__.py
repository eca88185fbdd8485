"""Strategies for answering one signature, and programs made of them.

`module` is the base of every program, `call_range` the number of model calls it may take, `state` its copies and files;
`function_program` makes a program of a function. Strategies: `predict` asks once (`Predict`, `ChainOfThought`), `react` and
`rlm` use tools and code in turns, `code_act` writes code, `best_of_n` asks several times and chooses, `extract` reads records
from documents, `retrieve` finds passages. `parallel` runs programs at once; `assertions` has the conditions
that a program checks while it runs.
"""
