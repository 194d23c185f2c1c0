from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from tests.bench.bare.models import Entry

EntryForm = modelform_factory(Entry, fields=["text"])


def page(request: HttpRequest) -> HttpResponse:
    form = EntryForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("page")
    return render(request, "bare/page.html", {"form": form})
