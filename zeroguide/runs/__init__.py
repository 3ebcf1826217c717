"""Many images: where they come from, who labels them, where results lie, and search in them.

`sources/` turn words of the command line into images; `label_run` is the run, by one `worker`, a
`pool` of processes or a cluster (`ray_run`); `run_folder` reads its results again, `search/` ranks
them by a text. `batch` is the plain loop of the commands that make one file an image; `masks/`
reads the masks that `zeroguide name` is given, `video/` is `zeroguide video`.
"""
