"""Recognition of a user's material: texts of tasks, Python programs, tables, documents with right answers.

    recognise       a text and files -> the parts of a project that they are
    task            the forms of a task's text, and a text -> a step: signature, class, schema, saved state
    prompts         prompts, chats and sentences -> a step
    step            the contract of a form of tasks; the step that a text becomes, and notes on it
    program         a Python program -> a spec
    document_batch  files and archives -> documents and their right answers
    attachments     given files; cells that name a picture, a PDF or a sound

Everything is data from outside: source text is read as a syntax tree and never run.
"""
