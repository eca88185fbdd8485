"""Strategies for answering one signature, and programs made of them.

module        the base of every program
step          what of one predictor is tuned, saved and shown
predict       asks once (`Predict`, `ChainOfThought`)
react, rlm    use tools and code in turns
code_act      writes code
best_of_n     asks several times and chooses
extract       reads records from documents
retrieve      finds passages
parallel      runs programs at once
assertions    conditions that a program checks while it runs
function_program   makes a program of a function
tree          the modules inside a program
state         the state of steps as JSON values and as a file
batch         many calls at once
call_range    the number of model calls a program may take
"""
