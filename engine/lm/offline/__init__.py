"""`offline/learner`: a small in-context learner that needs no key and no network.

    reading     messages -> fields, instruction, demos, inputs
    text        words, stems, numbers, and how alike texts are
    labels      an instruction's rules and demos' votes -> one of a closed set of values; a word problem -> a sum
    copying     pieces like those that demos copied, and answers in passages
    writing     asked for instructions -> rule sentences that tell the examples apart
    learner     OfflineLM: one output field after another -> a value of its type, and why; an agent's next step

It reads the messages it is sent and nothing else: no file, no clock, no earlier call. Better demos and better
instructions therefore raise its score for real, on data it has never seen.
"""
