"""What the tools say of themselves, in the form of a word's docstring: what it does, examples, what to see also."""

TOOL_DOCS = {
    "lint": """`lint FILES…`: what is dangerous in migration files, line by line, with the safe way.

It reads files and nothing else: no configuration, no log, no database, so that an editor, a hook or a CI job can ask.
Files are taken together, in the order of their versions; a table that one of them makes counts as new in the others. So
name the files that a branch adds; a folder stands for a database that is made from nothing.

It ends with 1 when something at or above `--fail-on` is found, or a file that cannot be run as it stands; with 2 when a
file cannot be read.

Examples:
    lint supabase/migrations/20261123101500_add_status.sql      one file
    lint supabase/migrations --fail-on danger                   all of a new project; dangers fail, too
    lint . --types src/database.types.ts                        and whether the committed types know them
    lint . --json                                               for programs
    lint . --markdown                                           for a comment on a pull request

See also: plan, push
""",
    "new": """`new NAME`: an empty migration in `supabase/migrations`, with a version that nobody else has.

The version is the time in UTC to the second, as the Supabase CLI writes it. Where that is taken, here, on a branch that
your working tree knows, or in an environment that the configuration names, the file gets the next second; so two that are
made in the same second never collide, and the new file always runs last. Where an environment cannot be asked, it says so
and makes the file all the same.

Examples:
    new add_status                          make supabase/migrations/20261123101500_add_status.sql
    new add status to orders                the same with several words
    new seed --from-stdin                   with what standard input gives

See also: lint, list, push
""",
    "init": """`init`: a first configuration and an empty log.

It asks for what it needs to know and writes `countersign.toml` and the log; every answer can be given as an option
instead. Where nobody can be asked, what is not given takes its default. It never writes over a configuration or a log
that is there, and a bad answer leaves nothing behind.

Examples:
    init                                        answer the questions
    init --project shop --channel C0DEPLOYS     answer two of them here

See also: doctor, bot, audit
""",
    "doctor": """`doctor`: what is wrong with the configuration, the log, tokens, repositories, databases, tools, isolation.

It looks at everything, says what it found line by line, and changes nothing. A line is ok, a warning (it works, but
look at it) or a problem (it will not work). It ends with 1 when there is a problem, with 2 without a configuration or
a log.

Examples:
    doctor             look at everything
    doctor --json      the same for programs

See also: init, bot
""",
    "demo": """`demo`: a Slack, two databases and an example project on your desk, for as long as it runs.

Nothing leaves this machine and nothing of it is left afterwards: the log, the databases and the repository are made in
a folder of their own.

Examples:
    demo              try it
    demo --play       watch one scene from the request to the proof

See also: init, doctor
""",
    "bot": """`bot`: serve Slack until it is told to stop.

In Socket Mode it needs `SLACK_BOT_TOKEN` and `SLACK_APP_TOKEN`; with `--http` it needs `SLACK_SIGNING_SECRET` instead of
the latter, and Slack posts to /slack/events. In both modes /healthz and /metrics answer at the port.

It holds the log: while it runs, what is typed at the terminal goes through it. Ctrl-C or SIGTERM ends it; a run that it
carries out goes on when a bot starts again.

Examples:
    bot                            Socket Mode
    bot --http --port 3000         behind a web server that speaks TLS

See also: doctor, status
""",
    "completion": """`completion bash|zsh|fish`: a script that makes the shell complete words, options and names.

The script asks this command what fits while you type: words and options, environments from the configuration, numbers
of open requests from the log. Asking reads only; where there is no configuration or no log, words are all there is.

Examples:
    completion bash > ~/.local/share/bash-completion/completions/countersign      for bash
    completion zsh > ~/.zfunc/_countersign                                         for zsh, with ~/.zfunc in fpath
    completion fish > ~/.config/fish/completions/countersign.fish                  for fish

See also: help
""",
    "audit": """`audit create|verify|query|export`: the log itself.

`create` makes a new, empty log; only it, init and demo ever make one. `verify` recomputes every hash and says what does
not fit; it ends with 1 when something does not. `query` lists the newest events that match. `export` writes all events
that match to standard output, oldest first. Both take conditions as `help history` tells them, and options beside them.

`population` lists every production change of a period, by requests and from outside, with what proves that none is missing;
a sample of it is those changes whose SHA-256 of `SEED:LOG ID:EVENT` comes first, so anybody can draw it again.

Whoever may read the log's file may read it here; that somebody did is written down where this user may write the log.

Examples:
    audit verify                                         is the log what it was
    audit query --kind approved --target prod            who approved what on prod
    audit query --request R-7 --limit 200                everything about one request
    audit query outcome:failed since:7d "orders"         in the words of `history`
    audit population --from 2026-Q3 --to 2026-Q3         a quarter, for an auditor
    audit export --format csv --since 2026-11-01         for a spreadsheet

See also: show, history
""",
}
