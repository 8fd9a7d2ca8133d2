"use strict";
// The map of `ssast-hf explore`: the pointer over a point names it, and a click plays it.
const clips = JSON.parse(document.getElementById("clips").textContent);
const tip = document.getElementById("tip");
const player = document.getElementById("player");

function pointAt(number) {
  return document.querySelector(`circle[data-clip="${number}"]`);
}

function pointed(event) {
  const target = event.target.closest("[data-clip]");
  return target === null ? null : Number(target.dataset.clip);
}

function show(number) {
  const clip = clips[number];
  tip.textContent = clip.label ? `${clip.name}: ${clip.label}` : clip.name;
  tip.hidden = false;
  const point = pointAt(number).getBoundingClientRect();
  const page = document.documentElement;
  const left = Math.min(point.right + 6, page.clientWidth - tip.offsetWidth - 6);
  tip.style.left = `${Math.max(left, 6) + window.scrollX}px`;
  tip.style.top = `${Math.max(point.top - tip.offsetHeight - 4, 6) + window.scrollY}px`;
}

function choose(number) {
  const clip = clips[number];
  document.querySelectorAll("circle.chosen").forEach((each) => each.classList.remove("chosen"));
  const point = pointAt(number);
  point.classList.add("chosen");
  point.parentNode.append(point); // above the others
  document.getElementById("name").textContent = clip.name;
  document.getElementById("label").textContent = clip.label;
  document.getElementById("path").textContent = clip.path;
  const nearest = clip.nearest.map(([name, similarity]) => {
    const item = document.createElement("li");
    item.textContent = `${name} (${similarity.toFixed(3)})`;
    return item;
  });
  document.getElementById("nearest").replaceChildren(...nearest);
  document.getElementById("chosen").hidden = false;
  document.getElementById("silent").hidden = Boolean(clip.sound);
  player.pause();
  player.hidden = !clip.sound;
  if (clip.sound) {
    player.src = clip.sound;
    // Another click may come before it plays, and the file of a link may have been moved.
    player.play().catch((error) => {
      if (error.name === "NotSupportedError") {
        document.getElementById("silent").hidden = false;
      }
    });
  }
}

document.addEventListener("pointerover", (event) => {
  const number = pointed(event);
  if (number === null || event.target.tagName !== "circle") {
    tip.hidden = true;
  } else {
    show(number);
  }
});
document.addEventListener("click", (event) => {
  const number = pointed(event);
  if (number !== null) {
    choose(number);
  }
});
