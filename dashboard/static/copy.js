const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages that are not on this machine and have no certificate may not use the clipboard in the new way.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};

export default ({ data, parentElement }) => {
  const button = parentElement.querySelector("button");
  button.className = "tb-copy";
  button.textContent = data.label;
  button.onclick = async () => {
    await copy(data.text);
    button.textContent = data.done;
    setTimeout(() => button.textContent = data.label, 2000);
  };
};
