"""How flows are made known to Prefect."""

from flows.orchestration.deployments import in_googles_style


def test_prefect_finds_what_each_parameter_is() -> None:
    parameters = "set_id : int\n    The set,\n    as shown.\nhome : str, optional\n    Whose.\n"
    doc = f"Do it.\n\nParameters\n----------\n{parameters}\nReturns\n-------\nState\n"
    assert in_googles_style(doc) == "Do it.\n\nArgs:\n    set_id: The set, as shown.\n    home: Whose."
