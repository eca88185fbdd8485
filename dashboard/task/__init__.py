"""Task: steps, fields, instructions.

page               the page
steps              the steps: order, import, tools
pipeline_picture   their picture
task_form          instruction and way of answering of a step
field_editor       the fields of one side of a step
step_rules         a step's model, condition and layout
corpus_form        the text that a search looks in
"""
