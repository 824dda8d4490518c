"""HDF5 files of this project: a table of named columns, how it was made, and a digest of it all.

Every HDF5 file that `ivr` writes has the same plain shape, whatever it holds:

* one contiguous, uncompressed dataset a column, all with the same number of rows; text columns are
  fixed-length UTF-8 bytes, so that a row never points elsewhere in the file;
* attributes ``kind`` (what the table is), ``config`` (JSON: everything that decided the values) and
  ``sha256`` (of kind, config and all columns).

While rows are being made they live in shards beside the file (:class:`Shards`): small tables whose
names carry the sha256 of their own bytes. A table or shard is written beside its place, flushed to
the disk and renamed, so that a killed writer leaves either the old file or the new one.
"""
