"""`offline/learner`: a small in-context learner that needs no key and no network.

    reading     messages -> fields, types, instruction, demonstrations, inputs
    words       text -> stems and features
    rules       an instruction's sentences -> rules for a label
    neighbours  demonstrations -> votes for a label
    arithmetic  a word problem -> a number, by an operation named or shown
    spans       free text -> a span like those the demonstrations copied
    outputs     one output field -> a value of its type, and why
    examples    examples inside a prompt, in any layout -> rows
    writing     asked for instructions -> rule sentences that tell the examples apart
    learner     OfflineLM, which puts these together

It reads the messages it is sent and nothing else: no file, no clock, no earlier call. Better demonstrations and
better instructions therefore raise its score for real, on data it has never seen.
"""
