"""Trainers of weights as optional parts: chat rows go in, a tuned model comes out; one trainer a file.

local      on this machine, in a child process; turns: one training at a time in a model's folder
openai     at a provider that speaks OpenAI's fine-tuning protocol
file       the rows as a file, for another trainer
pipe       the worker's end of the talk with the child process; child: the other end; __main__: the process
sft        supervised training in the child: LoRA and full; grpo_child: reinforcement there, grpo: its rollouts here

They know no program, metric or store: the driver scores checkpoints and rolls out programs for them.
"""
