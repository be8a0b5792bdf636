"""An append-only, MAC-chained journal that several processes of one server write (docs/formats/journal.md)."""
