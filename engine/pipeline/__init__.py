"""Pipelines as data: the spec that forms edit, its checks, and the program built from it.

spec        what a pipeline is, as data
signatures  one step's spec -> its signature
strategies  how a step may answer: each strategy's module, and the tools by name
steps       the steps that ask no model: a search, a tool's call
corpora     the passages that steps search, read and indexed once
conditions  whether a step runs
check       what is wrong with a spec, in plain sentences; wiring: between its steps
build       a spec -> a program
infer       a table without a description -> a spec
importing   a signature string, a class's source, a JSON Schema or a prompt -> a step
from_program  a Python program -> its spec, seen by running it with marked values (probe)
templates   the sample projects that are shipped
"""
