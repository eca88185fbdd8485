"""Reports, exports, later scores and archives of runs that have ended.

report        a stored run -> its HTML report, its table of results, the calls of its rows, a file to train with
exports       the tuned program in the data folder, scored again; the prompt that the user took; a project's versions
more_scores   scores that a user asks for after the run's end
prompt_parts  the rules and examples of a prompt, each of which can be switched off
archive       old runs put away in a file and brought back
"""
