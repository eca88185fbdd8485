"""Results: verdict, candidates, rows.

page               the page
overview           the result on top, its views in three tabs: prompts, rows, models and cost
hero               what the run came to, the prompt that is recommended and taken, its text
compare            the prompts to compare
comparison         prompts over the same rows: better, worse, why wrong
rows               the rows compared, and one row whole: answers, costs, messages, feedback
fields             scores by field
labels             scores by label, and the confusion matrix
models             the models of a run next to each other
charts             charts of all prompts, and the best one at a price
candidate_charts   their figures
parts              the red pen: what each rule and solved example does, and versions without some
more_scores        the offer to score rows that prompts lack
"""
