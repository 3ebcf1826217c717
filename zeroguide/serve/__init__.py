"""`zeroguide serve`: labels and names over HTTP, for programs.

worker.py       the one thread that runs the networks, batch by batch
service.py      what can be asked for, as functions of bytes: no HTTP here
masks.py        a file of masks that was sent, for one image
bodies.py       a request's body -> files, within limits
refusals.py     whatever goes wrong -> a status and {"error": "one sentence"}
guard.py        who may ask
delivery.py     every request gets its answer, whole
connections.py  connections on which nothing happens
schemas.py      what the answers look like, for the description of the API
app.py          the paths
server.py       all of it behind an address, until it is told to stop
"""
