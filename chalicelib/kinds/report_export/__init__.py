"""Kind `report_export`: a report's queries, each as a file."""
