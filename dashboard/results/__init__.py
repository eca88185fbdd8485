"""Results: verdict, candidates, rows.

page               the page
overview           the result on top, its views in tabs
hero               what the run came to, the prompt that is taken, links to the report
compare            the prompts to compare
comparison         prompts over the same rows: better, worse, why wrong
rows               the rows compared, and one row whole: answers, costs, messages, feedback
fields             scores by field
labels             scores by label, and the confusion matrix
models             the models of a run next to each other
charts             charts of all prompts
candidate_charts   their figures
parts              rules and solved examples, and what each does
more_scores        the offer to score rows that prompts lack
"""
