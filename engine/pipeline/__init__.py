"""Pipelines as data: the spec that forms edit, its checks, and the program built from it.

spec        what a pipeline is, as data
signatures  one step's spec -> its signature
check       what is wrong with a spec, in plain sentences
build       a spec -> a program
infer       a table nobody has described yet -> a spec
importing   a signature string, a class's source, a JSON Schema or a prompt -> a step
templates   the sample projects that are shipped
"""
