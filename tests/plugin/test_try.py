import json
def test_it(page, emulator):
    t=emulator.add_task(source="Workday", duration=None)
    for i in range(5): emulator.add_task(source="Workday", launched=-3600*i-900, duration=300)
    emulator.add_task(source="AD", launched=-600, duration=100, outcome="ERROR")
    for path in ["", "page.js", "api/connections", "api/sailpoint_default/overview","api/sailpoint_default/history?hours=24", f"api/sailpoint_default/tasks/{t.id}"]:
        for role in (None,"viewer","op"):
            r=page.get(path, role); print(path, role, r.status_code, r.text[:1500] if role=="op" and "page" not in path and path else r.text[:80])
    r=page.post(f"api/sailpoint_default/tasks/{t.id}/clear", {"dry_run":True}); print(r.status_code, r.text)
    r=page.post(f"api/sailpoint_default/tasks/{t.id}/clear", {"dry_run":False}); print(r.status_code, r.text)
    r=page.post(f"api/sailpoint_default/tasks/{t.id}/clear", {"dry_run":False}); print(r.status_code, r.text)
    s=emulator.sources[0].id
    r=page.post(f"api/sailpoint_default/sources/{s}/aggregate", {"kind":"accounts"}); print(r.status_code, r.text)
    r=page.post(f"api/sailpoint_default/sources/{s}/aggregate", {"kind":"accounts"}); print(r.status_code, r.text)
