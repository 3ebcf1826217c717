"""The machine under the package: files, locks, threads, devices that fail, the terminal.

Nothing here knows of images, models or labels. `files` writes whole files or none, `folder_lock`
keeps runs apart, `prefetch` works ahead in threads, `one_thread` and `forks` tame the libraries'
own, `device_errors` tells a device's failure from an image's, `console` speaks.
"""
