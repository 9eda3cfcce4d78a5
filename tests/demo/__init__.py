"""The code that makes the demo project: 24 real training runs, whose data `wbframe.server` serves as `demo`.

========== =================================================================
`train`    the command that trains, logs and writes (needs the `demo` group)
`plan`     the 24 runs: what each trains, and what it is called
`models`   softmax regression and a small network, by hand in numpy
`baseline` a linear classifier of scikit-learn, for comparison
`digits`   the images that all of them learn
`offline`  a reader of the SDK's offline files
`frames`   the container of these files
`folder`   a writer of the folder that the server reads
========== =================================================================
"""
