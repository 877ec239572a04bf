"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const byId = (id) => document.getElementById(id);

  // Text from files is only ever set as text.
  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  const [left, bottom, right, top] = content.bounds;
  const [unitX, unitY] = content.unit;
  const [metresX, metresY] = content.metres;
  const crs = L.extend({}, L.CRS.Simple, {
    transformation: new L.Transformation(1 / unitX, -left / unitX, -1 / unitY, top / unitY),
    distance: (a, b) => Math.hypot((a.lng - b.lng) * metresX, (a.lat - b.lat) * metresY),
  });
  const everything = L.latLngBounds([bottom, left], [top, right]);
  const map = L.map("map", {
    crs, zoomSnap: 0.25, zoomDelta: 1, wheelPxPerZoomLevel: 90, maxZoom: 6, minZoom: -20,
    attributionControl: false, zoomControl: false, zoomAnimation: !still, fadeAnimation: !still,
    inertia: !still, keyboardPanDelta: 120,
  });
  L.control.attribution({ prefix: "Leaflet" }).addTo(map);
  // Below, where popups do not come.
  L.control.zoom({ position: "bottomright" }).addTo(map);
  L.control.scale({ imperial: false }).addTo(map);

  // Places: #zoom/x/y in the page's CRS.
  const digits = Math.max(0, Math.ceil(-Math.log10(Math.min(unitX, unitY)))) + 1;
  const fragment = () => {
    const centre = map.getCenter();
    return `#${+map.getZoom().toFixed(2)}/${centre.lng.toFixed(digits)}/${centre.lat.toFixed(digits)}`;
  };
  const goToFragment = () => {
    const [zoom, x, y] = location.hash.slice(1).split("/").map(Number);
    if (![zoom, x, y].every(Number.isFinite) || location.hash.split("/").length !== 3) return false;
    map.setView([y, x], zoom, { animate: false });
    return true;
  };
  if (!goToFragment()) map.fitBounds(everything, { animate: false });
  map.setMinZoom(Math.min(map.getBoundsZoom(everything) - 2, 0));
  map.on("moveend", () => {
    byId("permalink").href = fragment();
    // Not history.replaceState: some browsers refuse it to pages that are files.
    if (location.hash !== fragment()) location.replace(fragment());
  });
  byId("permalink").href = fragment();
  addEventListener("hashchange", () => { if (location.hash !== fragment()) goToFragment(); });
  byId("home").addEventListener("click", () => map.fitBounds(everything, { animate: false }));
  map.on("mousemove", ({ latlng }) => {
    byId("cursor").textContent =
      `${content.crs}  ${latlng.lng.toFixed(digits)}, ${latlng.lat.toFixed(digits)}`;
  });

  const area = (m2) => {
    const [value, unit] = m2 < 1e4 ? [m2, "m²"] : m2 < 1e7 ? [m2 / 1e4, "ha"] : [m2 / 1e6, "km²"];
    return `${value.toLocaleString("en", { maximumSignificantDigits: 3 })} ${unit}`;
  };
  const shown = (column, value) => {
    if (value === null || value === undefined) return "–";
    if (!column.number) return value;
    if (column.name === "area_m2") return area(value);
    return Number.isInteger(value) ? String(value) : value.toLocaleString("en", { maximumSignificantDigits: 3, useGrouping: false });
  };
  const valueOf = (column, row) => {
    if ("same" in column) return column.same;
    if ("codes" in column) return column.codes[row] < 0 ? null : column.texts[column.codes[row]];
    return column.values[row];
  };

  const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const numbersIn = function* (text) {
    let value = 0, scale = 1;
    for (const byte of bytesOf(text)) {
      value += (byte & 127) * scale;
      if (byte & 128) { scale *= 128; continue; }
      yield value;
      value = 0; scale = 1;
    }
  };
  const outlinesOf = (layer) => {
    const rings = numbersIn(layer.rings), vertices = numbersIn(layer.vertices);
    const steps = numbersIn(layer.steps);
    const step = () => {
      const value = steps.next().value;
      return value % 2 ? -(value + 1) / 2 : value / 2;
    };
    let x = 0, y = 0;
    const vertex = () => {
      x += step(); y += step();
      return L.latLng(layer.origin[1] - y * layer.quantum[1], layer.origin[0] + x * layer.quantum[0]);
    };
    const many = (count, make) => Array.from({ length: count }, make);
    return Array.from(numbersIn(layer.parts), (parts) =>
      many(parts, () => many(rings.next().value, () => many(vertices.next().value, vertex))));
  };

  // One canvas for all polygons: of several, only the topmost would hear of the mouse.
  const canvas = L.canvas({ padding: 0.3, tolerance: 2 });
  let selected = null;
  // Seen from afar, ordinary outlines would hide what they surround.
  const lineWeight = () => (map.getZoom() < -1 ? 0.5 : 1.2);
  let weight = lineWeight();

  const addPolygons = (layer) => {
    const group = L.featureGroup();
    outlinesOf(layer).forEach((outline, row) => {
      const color = layer.legend[layer.classes[row]].color;
      const polygon = L.polygon(outline, { renderer: canvas, color, weight });
      polygon.row = row;
      group.addLayer(polygon);
    });
    const named = (name) => layer.columns.find((column) => column.name === name);
    const brief = ["class", "id", "area_m2", "confidence"].map(named).filter(Boolean);
    group.bindTooltip(
      ({ row }) => element("span", {}, brief.map((column) =>
        (column.name === "class" ? "" : `${column.name === "area_m2" ? "area" : column.name} `)
          + shown(column, valueOf(column, row))).join(", ")),
      { sticky: true, className: "brief" });
    group.on("click", ({ layer: polygon, latlng }) => select(layer, polygon, latlng));
    layer.polygons = group.getLayers();
    layer.drawn = group;
    layer.setOpacity = (opacity) => {
      layer.opacity = opacity;
      group.setStyle({ opacity, fillOpacity: opacity * 0.4 });
      if (selected) emphasise();
    };
  };

  const addPicture = (layer) => {
    const [west, south, east, north] = layer.bounds;
    layer.drawn = L.imageOverlay(layer.image, [[south, west], [north, east]], {
      className: layer.kind === "scene" ? "" : "crisp", alt: layer.name,
    });
    layer.setOpacity = (opacity) => { layer.opacity = opacity; layer.drawn.setOpacity(opacity); };
  };

  const emphasise = () => selected.polygon.setStyle({ weight: 4, opacity: 1 }).bringToFront();
  const deselect = () => {
    if (!selected) return;
    const { layer, polygon } = selected;
    selected = null;
    polygon.setStyle({ weight, opacity: layer.opacity });
  };
  const select = (layer, polygon, latlng) => {
    deselect();
    const rows = layer.columns.map((column) => element("tr", {},
      element("th", { scope: "row" }, column.name),
      element("td", {}, String(shown(column, valueOf(column, polygon.row))))));
    const attributes = element("div", { class: "attributes" },
      element("table", { "aria-label": `Attributes, ${layer.name}` }, element("tbody", {}, ...rows)));
    const room = map.getSize();
    L.popup({
      minWidth: 190, maxWidth: Math.min(320, room.x - 70), maxHeight: Math.min(280, room.y * 0.5),
      autoPanPadding: [10, 10],
    })
      .setLatLng(latlng).setContent(attributes).openOn(map);
    selected = { layer, polygon };
    emphasise();
    table.mark();
  };
  map.on("popupclose", () => { deselect(); table.mark(); });

  const legendOf = (layer) => {
    const list = element("ul", { class: "legend" });
    for (const entry of layer.legend || []) {
      const swatch = element("span", { class: entry.clear ? "swatch clear" : "swatch" });
      if (!entry.clear) swatch.style.backgroundColor = entry.color;
      const count = entry.count === undefined ? "" : `${entry.count.toLocaleString("en")} · `;
      list.append(element("li", {}, swatch,
        element("span", { class: "name" }, entry.name),
        element("span", { class: "figure" }, count + area(entry.area_m2))));
    }
    if (layer.ramp) {
      const bar = element("span", { class: "bar", role: "img", "aria-label": "Colours from 0 to 1" });
      bar.style.background = `linear-gradient(to right, ${layer.ramp.join(",")})`;
      list.append(element("li", { class: "ramp" }, "0", bar, "1"));
    }
    return list;
  };

  const toggle = (layer, on) => {
    layer.visible = on;
    if (on) layer.drawn.addTo(map); else layer.drawn.remove();
    if (!on && selected && selected.layer === layer) map.closePopup();
  };

  const controls = (layer) => {
    const box = element("input", { type: "checkbox" });
    box.checked = layer.visible;
    const slider = element("input", {
      type: "range", min: 0, max: 100, step: 5, value: Math.round(layer.opacity * 100),
      "aria-label": `Opacity of ${layer.name}, percent`,
    });
    box.addEventListener("change", () => toggle(layer, box.checked));
    slider.addEventListener("input", () => layer.setOpacity(slider.value / 100));
    layer.box = box;
    return element("li", {},
      element("div", { class: "layer" }, element("label", {}, box, element("span", {}, layer.name)), slider),
      legendOf(layer));
  };

  const table = (() => {
    const size = 50;
    const head = byId("rows").querySelector("thead"), body = byId("rows").querySelector("tbody");
    let layer = null, columns = [], order = [], first = 0, sorted = null, descending = true;

    const chosen = () => {
      const usual = ["id", "class", "area_m2", "confidence"]
        .map((name) => layer.columns.find((column) => column.name === name)).filter(Boolean);
      return usual.length > 1 ? usual : layer.columns.slice(0, 3).concat(usual)
        .filter((column, place, all) => all.indexOf(column) === place);
    };
    const sort = () => {
      order = Array.from({ length: layer.count }, (_, row) => row);
      const sign = descending ? -1 : 1;
      order.sort((a, b) => {
        const [one, other] = [valueOf(sorted, a), valueOf(sorted, b)];
        if (one === null || other === null) return (one === null) - (other === null) || a - b;
        return (one < other ? -sign : one > other ? sign : 0) || a - b;
      });
      first = 0;
    };
    const show = (row) => {
      const polygon = layer.polygons[row];
      if (!layer.visible) { layer.box.checked = true; toggle(layer, true); }
      map.fitBounds(polygon.getBounds(), { maxZoom: 2.5, padding: [60, 60], animate: false });
      select(layer, polygon, polygon.getCenter());
    };
    const drawHead = () => {
      head.replaceChildren(element("tr", {}, ...columns.map((column) => {
        const button = element("button", { type: "button" }, column.name === "area_m2" ? "area" : column.name);
        button.addEventListener("click", () => {
          descending = sorted === column ? !descending : column.number && column.name !== "id";
          sorted = column;
          sort(); draw();
          const place = columns.indexOf(column);
          head.querySelectorAll("button")[place].focus();
        });
        const cell = element("th", { scope: "col", class: column.number ? "number" : "" }, button);
        if (sorted === column) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
        return cell;
      })));
    };
    const draw = () => {
      drawHead();
      const rows = order.slice(first, first + size);
      body.replaceChildren(...rows.map((row) => {
        const cells = columns.map((column) => {
          const text = String(shown(column, valueOf(column, row)));
          return element("td", { class: column.number ? "number" : "", title: text }, text);
        });
        const button = element("button", { type: "button", "aria-label": `Show polygon ${cells[0].textContent}` });
        button.append(...cells[0].childNodes);
        cells[0].append(button);
        const line = element("tr", { "data-row": row }, ...cells);
        line.addEventListener("click", () => show(row));
        return line;
      }));
      byId("range").textContent =
        `${(first + 1).toLocaleString("en")}–${(first + rows.length).toLocaleString("en")} of ${layer.count.toLocaleString("en")}`;
      byId("previous").disabled = first === 0;
      byId("next").disabled = first + size >= layer.count;
      mark();
    };
    const mark = () => {
      for (const line of body.children) {
        const here = selected && selected.layer === layer && selected.polygon.row === Number(line.dataset.row);
        line.setAttribute("aria-current", here ? "true" : "false");
      }
    };
    const turn = (rows) => { first += rows; draw(); byId("rows").scrollTop = 0; };
    byId("previous").addEventListener("click", () => turn(-size));
    byId("next").addEventListener("click", () => turn(size));
    const list = (next) => {
      layer = next;
      columns = chosen();
      sorted = columns.find((column) => column.name === "area_m2") || columns[0];
      descending = true;
      sort(); draw();
    };
    return { list, mark };
  })();

  for (const layer of content.layers) {
    if (layer.kind === "polygons") addPolygons(layer); else addPicture(layer);
    layer.setOpacity(layer.opacity);
    const control = controls(layer);
    byId("layers").prepend(control);
    if (layer.visible) toggle(layer, true);
  }

  map.on("zoomend", () => {
    if (weight === lineWeight()) return;
    weight = lineWeight();
    for (const layer of withPolygons) layer.drawn.setStyle({ weight });
    if (selected) emphasise();
  });

  const withPolygons = content.layers.filter((layer) => layer.kind === "polygons").reverse();
  if (withPolygons.length) {
    byId("listing").hidden = false;
    const choice = byId("listed");
    choice.append(...withPolygons.map((layer, number) => element("option", { value: number }, layer.name)));
    choice.addEventListener("change", () => table.list(withPolygons[choice.value]));
    table.list(withPolygons[0]);
  }
  for (const note of content.notes) byId("notes").append(element("li", {}, note));
  byId("reductions").hidden = !content.notes.length;
  map.whenReady(() => { document.documentElement.dataset.ready = "true"; });
})();
