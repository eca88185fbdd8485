"""Export: the tuned program in every form.

page    the page
cards   the forms with their proof, and the versions of the program
"""
