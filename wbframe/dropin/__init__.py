"""The drop-in: the official SDK's `Api`, `Runs` and `Run`, reading many histories a request.

Where code that worked with the SDK's `Runs` sees a difference, it is one of these. "0.18", "0.19.8" and "0.31"
are releases of the wandb package; what is said of none of them holds for all three.

=====================================  =================================  ==================================
Where                                  The SDK                            Here
=====================================  =================================  ==================================
``histories`` of R runs                R requests, 0.19.8 2 R             a few a page of runs
polars, runs with different columns    0.19.8, 0.31 raise                 the union, null where missing
polars, int in one run, float in       raise                              Float64
another; null in one, values in
another
polars, key first seen after row 100   dropped in silence                 kept
polars, int for 100 rows, then 1.5     cut to 1 in silence                Float64
polars, text among numbers             raise                              String
``"NaN"`` among numbers, in frames     object, String                     float, a real NaN
Integers that float64 cannot hold,     cut in silence                     Python integers, object
beside missing ones, pandas
pandas and polars, row order           0.18 sorts by ``run_id``           the order of the runs
Objects without any field, polars      a Struct of no field               JSON text, ``{}``
Errors of ``histories``, ``history``   `CommError`                        those of `wbframe.errors`, which
                                                                          are ValueErrors for a wrong
                                                                          `format` and a missing project,
                                                                          and CommErrors too wherever
                                                                          wandb is imported
Wrong `keys` of ``histories``          a message for every run            one message, no request
``match="any"`` of ``histories``,      does not exist                     rows that hold any of `keys`
``history``, ``scan_history``
``on_error="skip"`` of the same        does not exist                     leaves out what cannot be read,
                                                                          with a `LeftOutWarning`
``runs[:]``, ``runs[5:]``,             TypeError, IndexError, or of the   loads what it takes
``runs[:-1]``, ``runs[-1]``            runs that happen to be loaded
Runs that come, go or change places    some are missed, some come twice   each once; what pages missed is
while pages are loaded                                                    read by its name, at the end
``len`` when all pages are loaded      what the last page counts          the runs that are loaded
``next`` after one that failed         goes on behind the run that        the same run; of a scan the same
                                       did not come                       error, until it begins anew
Integers of numpy                      refused, but by 0.31 for steps     taken as any other
`length`                               0.31 does not have it              as in 0.18, 0.19.8
`per_page=None`                        0.31 sends null                    50
Pages that ``histories`` loads         of `per_page` runs                  of 200 if `per_page` is from
                                                                          50 to 199: fewer requests
Runs a page in ``histories``           `per_page`                         200, if `per_page` is 50 to 199
`cursor` of an empty page              0.18, 0.19.8 IndexError            None
After "Could not find project"         0.31 gives a length of 0 and no    the same error again
                                       run
`order=None`                           0.31 makes it ``+created_at``      sent as it is: newest first
`order` by what no run has             in some order, without a word      ColumnError, "did you mean"
`order` by names of the runs frame     in some order, without a word      the server's names are sent
Runs that come in another order than   without a word                     an `OrderWarning`; `to_polars` and
`order`, by numbers                                                       the like sort them
No run, and a filter names what no     without a word                     a `FilterWarning`
run has
`include_sweeps`                       0.18, 0.19.8: False leaves         True; False has a sweep loaded when
                                       `run.sweep` None; 0.31: False      it is looked at, as in 0.31
`lazy`                                 0.31: True                         False: config and summary come
                                                                          with the page
Runs that the server counts, and that  missing                            read by their names, at the end
no page has, or two have               twice                              once
Sweeps of a page                       a request each, 0.31 more          one request
`name` of a sweep                      0.31: also a name given later      as in 0.18, 0.19.8
`json_config`                          0.18 drops ``_wandb``              keeps it
``run.user`` of a run without a user   0.18, 0.19.8 AttributeError;       None
                                       0.31 TypeError for the page
Config that is no object               0.18, 0.19.8 raise                 ``{}``; AnswerError for what is not
                                                                          even text, as in 0.31
``run.summary``                        can be written to                  a read-only mapping
Attributes of a run, such as `tags`    can be set, and saved              ReadOnlyError, an AttributeError
Blanks in `path` and `url`             0.18, 0.19.8 spell them ``+``,     ``%20``
                                       0.31 in those of sweeps
``api.run("id")`` without a project    0.18, 0.19.8 ask for project `id`  PathError, a ValueError, as in 0.31
In notebooks                           a frame with the page of a run     a line and a link; `to_html` gives
                                                                          the frame
``run.metadata`` that fails to load    None                               raises; None if there is no file
``run.lastHistoryStep``                always a request                   none for a run that has ended
``scan_history``                       0.18, 0.19.8 lose and repeat rows  every row once
                                       at page bounds with `keys`
`_step` in rows of ``scan_history``    0.18, 0.19.8 only if `keys` has    always, in front, as in 0.31
with `keys`                            it; 0.31 in any order
`max_step` of a scan                   0.31: the last step                the one after it, as in 0.18, 0.19.8
``beta_scan_history``                  0.31 says that it is old           the same as ``scan_history``
``scan_history`` of sparse steps       a request a 1000 steps             wider windows where little comes
``scan_history`` without historyKeys   no rows                            all rows
``scan_history`` behind the last step  ends there                         goes on until nothing comes
that the server knows
``scan_history`` values                0.31 turns 1.0 into 1, thins out   as they came, all; a row lacks
                                       steps that stand in two rows,      what it lacks, and holds all
                                       gives exported rows that lack      `keys`
                                       `keys`, with None for them
``scan_history``, rows that the        0.18, 0.19.8 end without them,     IncompleteHistoryError
server gives in exported files only    0.31 reads the files
``scan_history`` with wrong `keys`     0.18, 0.19.8 give an empty list    UsageError, a ValueError, as 0.31
                                       and a message                      raises
Files, artifacts, anything written     in the SDK                         not here: AttributeError
=====================================  =================================  ==================================
"""
