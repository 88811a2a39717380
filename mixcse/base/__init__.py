"""What any program needs, whatever it is about; nothing here knows of sentences.

A command line comes in, an exit code and at most one line of error go out: `program.run_cli` is where every program
starts.  What users can put right is raised as `errors.UserError`.  `console` speaks, `fields` describes and checks
options; `files` writes whole files or none; `group` is several processes that
share a batch; `rng` puts random states back.
"""
