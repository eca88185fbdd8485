"""Rows of a run spread over several processes: the optional backends.

workers    the driver's end: rows handed out, calls answered under the run's one budget
worker     the other end: rows answered and scored in a process
messages   messages between the two ends
ray        the one door to Ray, which starts the workers on a cluster
training_host   trainings on a machine of the cluster that has a GPU
"""
