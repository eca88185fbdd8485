"""Judgement of candidates: the leader, the verdict, the choice of models by the objective of a run, and its wording.

objective       the goal of a run: the best score, or the cheapest or fastest program
model_choice    the other models asked after a search, and the choice among them by the objective
leader          the best prompt by what is known, with its doubt, after each trial: what every surface shows
verdict         better, worse, too close to call or not enough rows; the credit of each step's changes
recommendation  the prompt to take by the test rows
wording         the user's sentences on endings and verdicts
"""
