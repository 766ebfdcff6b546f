"""A published packing experiment, run again: pods of a GPU-sharing cluster arrive until nothing fits any more.

The experiment is that of Weng et al., Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
Descent (USENIX ATC'23), with the authors' public inventory and pods (openb). All pods of the trace arrive once in shuffled
order, then pods drawn from it with replacement, until the request for GPUs is 130 % of what the cluster has. Nobody leaves. A
pod takes CPU, memory and GPUs of one node, several whole GPUs or a part of one; it is placed at once if it fits anywhere, else
it fails, and no score may refuse a pod that fits. What is compared is how much GPU is allocated by the time that 90, 95, ... %
of the cluster's GPUs have been asked for.

    openb.py     the nodes and pods of the files
    fleet.py     what is free, and the two steps of every placement: does it fit, take it
    stream.py    which pods arrive in which order, for a seed
    classes.py   the popular requests that FGD knows beforehand
    baseline.py, descent.py, learned.py     the scores' placement loops
    scores.py    the table of scores
    loads.py     the result by load
"""
