"""`offline/learner`: a small in-context learner that needs no key and no network.

    reading     messages -> fields, instruction, demos, inputs
    text        words, stems, numbers, and how alike texts are
    labels      an instruction's rules and demos' votes -> one of a closed set of values
    sums        a word problem -> an operation on its numbers
    copying     pieces like those that demos copied, and answers in passages
    answers     one output field -> a value of its type, and why
    writing     asked for instructions -> rule sentences that tell the examples apart
    learner     OfflineLM: the reply in the prompt's layout; an agent's next step

It reads the messages it is sent and nothing else: no file, no clock, no earlier call. Better demos and better
instructions therefore raise its score for real, on data it has never seen.
"""
