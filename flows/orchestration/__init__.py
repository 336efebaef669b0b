"""The Prefect flows, the process that runs them, and what the Prefect UI shows of them."""
