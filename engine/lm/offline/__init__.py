"""`offline/learner`: a small in-context learner that needs no key and no network.

    reading     messages -> fields, types, instruction, demonstrations, inputs
    words       text -> stems and features
    rules       an instruction's sentences -> rules for a label
    neighbours  demonstrations -> votes for a label
    arithmetic  a word problem -> a number, by an operation named or shown
    spans       free text -> a span or a sentence like those the demonstrations copied
    evidence    passages in the prompt -> the sentence about a question, and the words that answer it
    answering   one text field -> an answer from passages, or the next query
    acting      a prompt with tools -> the next tool and its arguments
    outputs     one output field -> a value of its type, and why
    examples    examples inside a prompt, in any layout -> rows
    forms       free-text answers -> what they have in common, said so that it can be read back
    writing     asked for instructions -> rule sentences that tell the examples apart
    learner     OfflineLM, which puts these together

It reads the messages it is sent and nothing else: no file, no clock, no earlier call. Better demonstrations and
better instructions therefore raise its score for real, on data it has never seen.
"""
