"""Pipelines as data: the spec that forms edit, its checks, and the program built from it.

spec        a pipeline as data, and the conditions of its steps
signatures  one step's spec -> its signature
strategies  each strategy's module, the tools by name, and the steps that ask no model
corpora     the passages that steps search, read and indexed once
check       problems of a spec and of the wiring between its steps, in plain words
build       a spec -> a program
infer       a table without a description -> a spec
records     the type of a record: inferred from right answers, its paths and descriptions
importers   recognition of a user's material: texts of tasks, programs, tables, documents with right answers
templates   the sample projects that are shipped
"""
