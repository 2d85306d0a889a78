"""The roof over Streamlit (the policy enforcement point, PEP): the only place that imports Streamlit.

Read in this order: `standing` (who asks, under which policy, now), `guard` (`requires` and its kin), `menu`
(`navigation`), `orgs`, `screens`; `private` holds every private name of Streamlit.
"""
