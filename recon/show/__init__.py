"""What is shown of a result: table, panel, page, figures, notebooks, a reading study."""
