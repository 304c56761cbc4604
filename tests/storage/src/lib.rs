//! Power loss, bit flips and failing disks against log, ledger and artifacts.
